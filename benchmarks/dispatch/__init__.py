"""Economic dispatch of the IEEE 14-bus network under DC power flow: balance, line limits, generator limits."""
