"""Shows what a model is trained on: python tools/visualization/browse_views.py CONFIG [--out FILE.png] [-n 8]."""

from otcxr_mm.cli.views import main

if __name__ == "__main__":
    main()
