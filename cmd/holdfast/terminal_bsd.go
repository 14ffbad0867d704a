//go:build darwin || freebsd

package main

import "golang.org/x/sys/unix"

// How the settings of a terminal are read and written.
const readTermios, writeTermios = unix.TIOCGETA, unix.TIOCSETA
