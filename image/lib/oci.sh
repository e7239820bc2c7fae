# Puts layers and the container configuration together as an OCI image, with umoci and skopeo.

# oci_layout_from_layer LAYOUT TAG LAYER_TAR COMMENT: a new layout that holds one image of one layer.
oci_layout_from_layer() {
	umoci init --layout "$1"
	umoci new --image "$1:$2"
	umoci raw add-layer --image "$1:$2" --history.comment "$4" "$3"
}

# oci_layout_extend FROM TO TAG NEW_TAG LAYER_TAR COMMENT: a copy of a layout (blobs shared by hard links) plus one layer.
oci_layout_extend() {
	mkdir "$2"
	cp -al "$1/blobs" "$2/blobs"
	cp "$1/index.json" "$1/oci-layout" "$2/"
	umoci raw add-layer --image "$2:$3" --tag "$4" --history.comment "$6" "$5"
}

# oci_configure LAYOUT TAG: how the image starts; names and values as in the official PostgreSQL image.
oci_configure() {
	umoci config --image "$1:$2" --no-history \
		--os linux --architecture "$(dpkg --print-architecture)" \
		--config.user postgres \
		--config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/17/bin \
		--config.env LANG=en_US.utf8 \
		--config.env PG_MAJOR=17 \
		--config.env PGDATA=/var/lib/postgresql/data \
		--config.entrypoint docker-entrypoint.sh \
		--config.cmd postgres \
		--config.volume /var/lib/postgresql/data \
		--config.exposedports 5432/tcp \
		--config.stopsignal SIGINT \
		--config.label org.opencontainers.image.title=postgres \
		--config.label org.opencontainers.image.description='PostgreSQL 17 with lttle_pg'
}

# oci_write_archive LAYOUT TAG FILE NAME: one file that skopeo, podman and lttled import under NAME.
oci_write_archive() {
	skopeo --insecure-policy copy --quiet "oci:$1:$2" "oci-archive:$3:$4"
}
