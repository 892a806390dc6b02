"""From seeds to an evaluated mixture: what is to be done, and doing it.

task        one cell to fill: what it is made from, who fills it     (start here)
plan        the tasks of one root seed; run_plan: those of all
stages      what the tasks do, in the order data goes through them
make        plans with the tasks of all stages
execute     doing what a plan says, and the run's record
"""
