"""tane (種, seed): train language models on your own text, Japanese first."""
