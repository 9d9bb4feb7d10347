"""From the champion to what serves it, and a release's processes on this machine."""
