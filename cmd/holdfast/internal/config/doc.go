// Package config is everything that an operator can set. It reads a TOML file, the
// environment and flags, checks the values, and has the defaults. Some defaults depend on
// the machine.
package config
