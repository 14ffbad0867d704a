package datadir

// Files of the data directory that the packages name no place for.
const (
	TokenKeysFile = "tokens.key"
	NodeKeyFile   = "node.key"
	SwarmKeyName  = "swarm.key"
	TempDirName   = "tmp"
	ACMEDirName   = "acme" // accounts, keys and certificates of ACME
)
