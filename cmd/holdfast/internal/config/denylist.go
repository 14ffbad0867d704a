package config

// AutoDenylists in denylist.dirs stands for two directories: one in the data directory, and
// the one that all IPFS software of the machine uses, Kubo too.
const AutoDenylists = "auto"
