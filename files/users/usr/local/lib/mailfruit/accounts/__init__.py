"""The accounts of this mail server: who has a mailbox, and what opens it."""
