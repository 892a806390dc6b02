"""What leaves a run: systems for programs that know nothing of selfmoe."""
