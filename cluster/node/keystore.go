package node

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gcrm/cluster/consensus"
	"gcrm/cluster/transport"
	"gcrm/durable"
)

// Keys are by what a node is recognised, and recognises others.
type Keys struct {
	Credentials transport.Credentials
	// Authority is nil on a node that takes nobody in.
	Authority *transport.Authority
	// Heartbeats authenticate heartbeats: the first one signs.
	Heartbeats [][]byte
}

// Keystore keeps a node's keys in a folder.
type Keystore struct {
	Dir           string
	Cluster, Node string
	ID            string // of the node
	// NodeLife is how long the node's certificates are good; a year if 0.
	NodeLife time.Duration
}

const (
	heartbeatFile  = "heartbeat.key"
	generationFile = "generation"
)

// Load reads the keys, and makes those that are missing or about to end.
func (k *Keystore) Load(now time.Time) (Keys, error) {
	a, err := transport.OpenAuthority(k.Dir, k.Cluster, now)
	if err != nil {
		return Keys{}, err
	}
	if k.NodeLife > 0 {
		a.SetNodeLife(k.NodeLife)
	}
	c, err := a.OpenCredentials(k.Dir, k.Node, k.ID, now)
	if err != nil {
		return Keys{}, err
	}
	beats, err := openKeys(filepath.Join(k.Dir, heartbeatFile))
	return Keys{Credentials: c, Authority: a, Heartbeats: beats}, err
}

// Generation returns the one of the keyring that was installed last.
func (k *Keystore) Generation() (uint64, error) {
	b, err := os.ReadFile(filepath.Join(k.Dir, generationFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}

// Install makes the cluster's new keys the node's, with a certificate of their
// own once they are used. A crash in between does no harm: the generation is
// written last, and what was not done is done again.
func (k *Keystore) Install(r consensus.Keyring, now time.Time) (Keys, error) {
	var trusted [][]byte
	for _, a := range r.Authorities[1:] {
		trusted = append(trusted, a.Cert)
	}
	a, err := transport.ParseAuthority(r.Authorities[0].Cert, r.Authorities[0].Key, trusted...)
	if err != nil {
		return Keys{}, err
	}
	if k.NodeLife > 0 {
		a.SetNodeLife(k.NodeLife)
	}
	if err := storeKeys(filepath.Join(k.Dir, heartbeatFile), r.Heartbeats); err != nil {
		return Keys{}, err
	}
	if err := a.Store(k.Dir); err != nil {
		return Keys{}, err
	}
	var c transport.Credentials
	if r.Step == consensus.KeysUse {
		c, err = a.Renew(k.Dir, k.Node, k.ID, now)
	} else {
		c, err = a.OpenCredentials(k.Dir, k.Node, k.ID, now)
	}
	if err == nil {
		err = durable.Write(filepath.Join(k.Dir, generationFile), []byte(strconv.FormatUint(r.Generation, 10)+"\n"), 0o600)
	}
	return Keys{Credentials: c, Authority: a, Heartbeats: r.Heartbeats}, err
}

// OpenKey returns the key in a file and makes one if there is none.
func OpenKey(path string) ([]byte, error) {
	keys, err := openKeys(path)
	if err != nil {
		return nil, err
	}
	return keys[0], nil
}

func openKeys(path string) ([][]byte, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key := newKey()
		return [][]byte{key}, StoreKey(path, key)
	}
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	for _, line := range strings.Fields(string(b)) {
		key, err := hex.DecodeString(line)
		if err != nil || len(key) < minKey {
			return nil, fmt.Errorf("%s does not hold a key", path)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s does not hold a key", path)
	}
	return keys, nil
}

const minKey = 16

func newKey() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return key
}

// StoreKey writes a key to a file that [OpenKey] reads.
func StoreKey(path string, key []byte) error { return storeKeys(path, [][]byte{key}) }

func storeKeys(path string, keys [][]byte) error {
	text := ""
	for _, k := range keys {
		if len(k) < minKey {
			return errors.New("the key is too short")
		}
		text += hex.EncodeToString(k) + "\n"
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return durable.Write(path, []byte(text), 0o600)
}
