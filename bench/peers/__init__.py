"""Other systems that do what the tracker does, as a good user of them would make them do it."""
