package main

// Files of the data directory that the packages name no place for.
const (
	tokenKeysFile = "tokens.key"
	nodeKeyFile   = "node.key"
	swarmKeyName  = "swarm.key"
	tempDirName   = "tmp"
	acmeDirName   = "acme" // accounts, keys and certificates of ACME
)
