"""Reports: what has been, counted. Pure: samples and timelines are arguments, and so is the time."""
