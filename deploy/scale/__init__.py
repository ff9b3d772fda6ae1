"""The plan past one machine: what a platform's load asks for, and a simulation of its queues."""
