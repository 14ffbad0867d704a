package datadir

// Names of files in the data directory. Other packages get their paths from here.
const (
	TokenKeysFile = "tokens.key"
	NodeKeyFile   = "node.key"
	SwarmKeyName  = "swarm.key"
	TempDirName   = "tmp"
	ACMEDirName   = "acme" // accounts, keys and certificates of ACME
	// LifeName is there if a cluster keeps what is pinned. A backup does not have it.
	LifeName = "cluster.life"
	// RestoredName is there from a restore of node.key to the first start.
	RestoredName = "holdfast.restored"
	// BackupPlaceName has the value of backup.to at which the newest backup was made. A backup does not have it.
	BackupPlaceName = "backup.place"
)
