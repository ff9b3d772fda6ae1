"""Identity: who may publish, through which provider, made with which feature."""
