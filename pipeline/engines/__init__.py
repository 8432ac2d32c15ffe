"""Generation and choice scoring behind one interface."""
