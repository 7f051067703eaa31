package cib

import "strings"

// FencingParams are the parameters that every resource of class stonith has
// beyond those of its agent: the cluster's fencing takes them, and agents never
// see them.
func FencingParams() []ParamMeta {
	one := func(name, kind, def, short string, values ...string) ParamMeta {
		p := ParamMeta{Name: name, Type: kind, Default: def, HasDefault: def != "", Short: Text{"en": short}}
		for _, v := range values {
			p.Values = append(p.Values, ParamValue{Value: v})
		}
		return p
	}
	params := []ParamMeta{
		one("pcmk_host_list", "string", "", "nodes that the device can fence"),
		one("pcmk_host_map", "string", "", "what the device calls the nodes, as node1:plug1;node2:plug2,plug3"),
		one("pcmk_host_check", "select", "", "how to find out which nodes the device can fence", "static-list", "dynamic-list", "status", "none"),
		one("pcmk_host_argument", "string", "", "parameter of the agent that takes the plug; none for no such parameter"),
		one("pcmk_delay_base", "string", "0s", "delay before off and reboot; also by node, as node1:5s;node2:0"),
		one("pcmk_delay_max", "time", "0s", "with a random share, the delay is at most this"),
		one("pcmk_action_limit", "integer", "1", "actions that the device can do at the same time; -1 for any number"),
	}
	for _, a := range []string{"reboot", "off", "on", "list", "monitor", "status"} {
		params = append(params,
			one("pcmk_"+a+"_action", "string", a, "action of the agent for "+a),
			one("pcmk_"+a+"_timeout", "time", "60s", "how long "+a+" may take; else stonith-timeout"),
			one("pcmk_"+a+"_retries", "integer", "2", "attempts at "+a))
	}
	return params
}

// FencingParam finds one of [FencingParams]; it is nil for other names.
func FencingParam(name string) *ParamMeta {
	if !strings.HasPrefix(name, "pcmk_") {
		return nil
	}
	for _, p := range FencingParams() {
		if p.Name == name {
			return &p
		}
	}
	return nil
}
