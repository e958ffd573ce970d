package main

import "context"

func (c *checker) companion(ctx context.Context, im *image) (string, error) {
	return "", &notRun{"later"}
}
func (c *checker) officialMemory(ctx context.Context, im *image) (string, error) {
	return "", &notRun{"later"}
}
