"""From the champion to what serves it, and the processes of a release on this machine."""
