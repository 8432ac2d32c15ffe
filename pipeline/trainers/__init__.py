"""SFT and DPO behind one interface; every row arrives as ids with labels."""
