package secret

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		p := filepath.Join(dir, "db", name)
		_ = os.MkdirAll(filepath.Dir(p), 0o700)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("password", "geheim\n")
	put("password.sign", "e8636ea013e682faf61f56ce1cb1ab5c\n") // md5 of "geheim"
	given := map[string]string{"password": "lrm://", "user": "root"}
	got, err := Fill(dir, "db", given)
	if err != nil || got.Params["password"] != "geheim" || got.Params["user"] != "root" || given["password"] != "lrm://" {
		t.Errorf("%v, %v; given became %v", got, err, given)
	}
	if text := got.Hide("login root with geheim"); text != "login root with ******" {
		t.Errorf("hidden: %q", text)
	}
	if inst, err := Fill(dir, "db:1", given); err != nil || inst.Params["password"] != "geheim" {
		t.Errorf("an instance of a clone: %v %v", inst.Params, err)
	}
	put("password", "other\n")
	if _, err := Fill(dir, "db", given); err == nil || !strings.Contains(err.Error(), "does not match") {
		t.Errorf("changed value: %v", err)
	}
	if _, err := Fill(dir, "web", given); err == nil || !strings.Contains(err.Error(), "secret parameter password of web") {
		t.Errorf("absent value: %v", err)
	}
}
