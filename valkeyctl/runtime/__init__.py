"""From artefacts to a listening server: Podman, or a process of our own."""
