"""What a program may ask of selfmoe; its names are offered by ``selfmoe`` itself."""
