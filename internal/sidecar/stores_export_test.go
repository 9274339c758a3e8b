package sidecar

// ParseDatabase is what becomes of the URL of a database.
var ParseDatabase = parseDatabase
