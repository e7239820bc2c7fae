"""How a client program is led; see steps.mjs."""

import json
import sys


def answer(result):
    print(json.dumps(result), flush=True)


def follow(steps):
    answer("connected")
    for line in sys.stdin:
        answer(steps[line.strip()]())
