//go:build !linux

package main

import "runtime/debug"

func forgetStartup() { debug.FreeOSMemory() }
