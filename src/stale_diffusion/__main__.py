"""python -m stale_diffusion: the command line."""

from stale_diffusion.cli import main

if __name__ == "__main__":
    main()
