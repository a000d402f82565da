"""Two clients of Fabric's API that are not ours, run unmodified against the simulator: fabric-cicd and the Fabric CLI.

`python -m tests.peers` runs all of it. The peers live in an environment of their own (`tests/peers/environment.py`);
what runs there is in `tests/peers/inside`, and cannot import this project.
"""
