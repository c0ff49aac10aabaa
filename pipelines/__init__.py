"""The Beam jobs. They wire; the thinking is in `captioner`."""
