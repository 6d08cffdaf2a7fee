"""The landing service: takes over HTTP what edge pods deliver, and stores it on one volume."""
