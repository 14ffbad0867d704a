package config

// AutoDenylists in denylist.dirs stands for the places where Kubo's users put
// lists: a directory of the data directory, and one for all IPFS software of
// the machine.
const AutoDenylists = "auto"
