"""What the project says about its speed and its cost, each figure made by a command."""
