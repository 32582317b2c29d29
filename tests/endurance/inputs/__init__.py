"""Endurance tests with unexpected inputs."""
