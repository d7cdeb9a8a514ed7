#!/usr/bin/env python3
"""Makes a C header of a file: embed.py FILE NAME > HEADER."""
import sys

data = open(sys.argv[1], "rb").read()
rows = [", ".join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24)]
print(f"/* Made of {sys.argv[1].rsplit('/', 1)[-1]}. */\nstatic const unsigned char {sys.argv[2]}[] = {{\n"
      + ",\n".join(rows) + "};")
