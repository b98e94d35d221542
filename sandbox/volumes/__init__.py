"""Volumes: directories that outlive the containers they are mounted in."""
