"""What video objects are: kinds by path and type, MIME types, what playlists and manifests tell of themselves."""
