// Package config is everything that an operator can set: where it is read from (a TOML
// file, the environment, flags), what may be set, and what holds where nothing is, which
// also depends on the machine.
package config
