//go:build !linux

package awsauth

// HideMemory does nothing where the kernel has no such switch.
func HideMemory() {}
