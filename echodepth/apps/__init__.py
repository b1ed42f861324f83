"""Programs for people: demo page, live depth, dataset doctor, converter."""
