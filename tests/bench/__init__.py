"""Speed, as ratios measured in one run: absolute figures depend on the machine, ratios much less."""
