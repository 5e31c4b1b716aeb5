"""What is asked, how often, and when: scenarios, traces and the stream they become."""
