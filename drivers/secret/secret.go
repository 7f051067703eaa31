// Package secret fills in parameters whose values are kept out of the CIB.
package secret

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// DefaultDir is where the values of secret parameters lie on each node,
// in files RESOURCE/PARAMETER with the MD5 sum beside them in a .sign file.
const DefaultDir = "/var/lib/pacemaker/lrm/secrets"

// marker stands in the CIB for a value that is kept out of it.
const marker = "lrm://"

// Fill returns the parameters with their secret values filled in. On an error
// the rest is filled in all the same.
func Fill(dir, resource string, params map[string]string) (map[string]string, error) {
	var first error
	out := maps.Clone(params)
	for name, value := range params {
		if value != marker {
			continue
		}
		secret, err := read(filepath.Join(dir, resource, name))
		if err != nil {
			if first == nil {
				first = fmt.Errorf("secret parameter %s of %s: %w", name, resource, err)
			}
			continue
		}
		out[name] = secret
	}
	return out, first
}

func read(path string) (string, error) {
	value, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sign, err := os.ReadFile(path + ".sign")
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(value), "\n")
	sum := md5.Sum([]byte(secret))
	if strings.TrimSpace(string(sign)) != hex.EncodeToString(sum[:]) {
		return "", fmt.Errorf("%s.sign does not match its value (was it changed on one node only?)", path)
	}
	return secret, nil
}
