package shell

// Root returns the table of verbs: the whole shell, level by level. It is the
// one place where a command is declared; dispatch, completion, help and the
// manual page read it. Each call makes a new table.
func Root() *Level {
	root := &Level{
		Help: "Everything about the cluster.",
		Verbs: append([]*Verb{
			statusVerb(), verifyVerb(), simulateVerb(), applyVerb(), reportVerb(),
		}, toolVerbs()...),
		Levels: []*Level{
			configureLevel(), resourceLevel(), nodeLevel(), cibLevel(), raLevel(), fenceLevel(),
			clusterLevel(), optionsLevel(), maintenanceLevel(), siteLevel(), templateLevel(), scriptLevel(), cibstatusLevel(),
			historyLevel(), membershipLevel(),
		},
	}
	attach(root, commonVerbs())
	return root
}

func attach(l *Level, common []*Verb) {
	l.common = common
	for _, sub := range l.Levels {
		attach(sub, common)
	}
}

// commonVerbs are the commands of every level.
func commonVerbs() []*Verb {
	return []*Verb{
		{Name: "help", Aliases: []string{"?", "-h", "--help"}, Help: "Explain a command or list those of this level.",
			Example: "help configure primitive", Args: []Arg{any0("topic", argTopic)}, run: runHelp},
		{Name: "up", Aliases: []string{"..", "end", "back"}, Help: "Go up one level.", Example: "up", moves: true, run: runUp},
		{Name: "cd", Help: "Go to another level.", Long: "The path names levels with slashes between them; .. is the level above.",
			Example: "cd ../resource", Args: []Arg{maybe("path", argPath)}, moves: true, run: runCd},
		{Name: "ls", Help: "List the commands and levels at this level.", Example: "ls", run: runLs},
		{Name: "quit", Aliases: []string{"exit", "bye"}, Help: "Leave the shell.",
			Long:    "At the prompt, uncommitted changes are asked about; in a script they are committed.",
			Example: "quit", moves: true, run: runQuit},
	}
}
