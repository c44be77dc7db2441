"""What is asked: tasks and suites, systems by name, what people type."""
