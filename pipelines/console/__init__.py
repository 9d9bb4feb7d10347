"""What the console shows and does here: its ports (bentos/console/ports) filled from an installation.

A module for each topic, which reads and changes through the same functions as the command line; `server.py` starts it.
"""
