"""Pulls of a lever under a widefield camera, in the layout of BraiDyn-BC (DANDI 001425), with known truth."""
