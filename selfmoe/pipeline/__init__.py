"""From seeds to an evaluated mixture: what is to be done, and doing it.

plan        a task, a job, and the plan that holds them           (start here)
stages      what the tasks do, in the order data goes through them
make        plans with the tasks of all stages
execute     doing what a plan says, and the run's record
"""
