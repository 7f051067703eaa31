// Package secret keeps parameters whose values are not in the CIB: the store on
// one node, and the filling in when an agent is run.
//
// In the CIB the value of such a parameter is "lrm://". The values lie on each
// node in files that only root reads; the nodes tell them each other over their
// own connections. The layout of the folder is that of Pacemaker's cibsecret,
// whose values are found too.
package secret

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// DefaultDir is where Pacemaker keeps the values on each node. It is looked
// into for what a node's own store does not have, and never written.
const DefaultDir = "/var/lib/pacemaker/lrm/secrets"

// Marker stands in the CIB for a value that is kept out of it.
const Marker = "lrm://"

// Filled are the parameters of an action with the values of the secret ones.
type Filled struct {
	Params map[string]string
	secret []string // the values that must not be shown
}

// hidden is what stands for a secret value where an agent repeats it.
const hidden = "******"

// shortest is the length from which values are looked for in texts: shorter
// ones would blot out ordinary words, and are no secret to anybody.
const shortest = 3

// Hide replaces the secret values in a text, such as what an agent says.
func (f Filled) Hide(text string) string {
	for _, v := range f.secret {
		text = strings.ReplaceAll(text, v, hidden)
	}
	return text
}

// Fill returns the parameters with their secret values filled in from the
// node's store in dir, or from Pacemaker's. On an error the rest is filled in
// all the same.
func Fill(dir, resource string, params map[string]string) (Filled, error) {
	// Instances of a clone share the values of the resource.
	resource, _, _ = strings.Cut(resource, ":")
	var first error
	f := Filled{Params: maps.Clone(params)}
	for name, value := range params {
		if value != Marker {
			continue
		}
		text, err := read(dir, resource, name)
		if errors.Is(err, fs.ErrNotExist) {
			if text, err = read(DefaultDir, resource, name); errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("this node does not have the value; give it again with 'resource secret %s set %s'", resource, name)
			}
		}
		if err != nil {
			if first == nil {
				first = fmt.Errorf("secret parameter %s of %s: %w", name, resource, err)
			}
			continue
		}
		f.Params[name] = text
		if len(text) >= shortest {
			f.secret = append(f.secret, text)
		}
	}
	return f, first
}

// read returns the value in a folder; fs.ErrNotExist if there is none.
func read(dir, resource, parameter string) (string, error) {
	if dir == "" {
		return "", fs.ErrNotExist
	}
	path := filepath.Join(dir, resource, parameter)
	value, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sign, err := os.ReadFile(path + signSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is not there", path+signSuffix)
	}
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(value), "\n")
	if strings.TrimSpace(string(sign)) != sum(text) {
		return "", fmt.Errorf("%s does not match its value (was it changed by hand?)", path+signSuffix)
	}
	return text, nil
}

// sum is what cibsecret puts beside a value.
func sum(text string) string {
	s := md5.Sum([]byte(text))
	return hex.EncodeToString(s[:])
}
