"""Requests of the tests, as arguments."""

SHORT = {"gen_length": 32, "steps": 4, "seed": 1}

# Long enough to be left: one token a step.
LONG = {
    "prompt": "The river flows through the old town.",
    "gen_length": 96,
    "steps": 96,
    "seed": 1,
    "stop_at_end": False,
}
