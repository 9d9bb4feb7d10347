"""Write the reference anew: `python -m pipelines.reference`."""

from pipelines.reference.pages import main

main()
