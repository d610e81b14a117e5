# Prints the help of a Makefile: `target: … ## ARGUMENTS | What it does` and `##@ A heading`.
/^##@ / { printf "\n%s\n", substr($0, 5) }
/^[a-z][a-z0-9-]*:.* ## / {
    target = $0; sub(/:.*/, "", target)
    text = $0; sub(/^.* ## */, "", text)
    arguments = text; sub(/ *\| .*/, "", arguments); sub(/^\| .*/, "", arguments)
    sub(/^.*\| /, "", text)
    if (target != "help") printf "  %-42s %s\n", target (arguments == "" ? "" : " " arguments), text
}
