CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE roots (
	id INTEGER NOT NULL, 
	path BLOB NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (path)
);

CREATE TABLE models (
	id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	dim INTEGER NOT NULL, 
	active BOOLEAN NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (fingerprint)
);

CREATE TABLE "contents" (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	hash BLOB NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	format VARCHAR NOT NULL, 
	taken_at VARCHAR, 
	camera VARCHAR, 
	lens VARCHAR, 
	latitude FLOAT, 
	longitude FLOAT, description VARCHAR, dhash BLOB, metadata_version INTEGER DEFAULT '0' NOT NULL, damage VARCHAR, city VARCHAR, people VARCHAR, rating INTEGER, label VARCHAR, iso INTEGER, aperture FLOAT, exposure FLOAT, focal FLOAT, duration_ms INTEGER, fps FLOAT, codec VARCHAR, audio BOOLEAN, content_identifier VARCHAR, 
	UNIQUE (hash)
);

CREATE TABLE embeddings (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	item_id INTEGER NOT NULL, 
	model_id INTEGER NOT NULL, 
	vector BLOB NOT NULL, 
	UNIQUE (item_id, model_id), 
	FOREIGN KEY(item_id) REFERENCES "items" (id) ON DELETE CASCADE, 
	FOREIGN KEY(model_id) REFERENCES models (id) ON DELETE CASCADE
);

CREATE TABLE "properties" (
	name VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	PRIMARY KEY (name)
);

CREATE TABLE regions (
	item_id INTEGER NOT NULL, 
	model_id INTEGER NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	data BLOB NOT NULL, 
	PRIMARY KEY (item_id, model_id), 
	FOREIGN KEY(item_id) REFERENCES "items" (id) ON DELETE CASCADE, 
	FOREIGN KEY(model_id) REFERENCES models (id) ON DELETE CASCADE
);

CREATE INDEX regions_current ON regions (model_id, fingerprint, item_id);

CREATE TABLE captions (
	item_id INTEGER NOT NULL, 
	reranker VARCHAR NOT NULL, 
	text VARCHAR NOT NULL, 
	confidence FLOAT NOT NULL, 
	PRIMARY KEY (item_id), 
	FOREIGN KEY(item_id) REFERENCES "items" (id) ON DELETE CASCADE
);

CREATE TABLE ocr (
	item_id INTEGER NOT NULL, 
	engine VARCHAR NOT NULL, 
	text VARCHAR NOT NULL, 
	PRIMARY KEY (item_id), 
	FOREIGN KEY(item_id) REFERENCES "items" (id) ON DELETE CASCADE
);

CREATE TABLE tags (
	item_id INTEGER NOT NULL, 
	tag VARCHAR NOT NULL, 
	vocabulary VARCHAR NOT NULL, 
	score FLOAT NOT NULL, 
	PRIMARY KEY (item_id, tag), 
	FOREIGN KEY(item_id) REFERENCES "items" (id) ON DELETE CASCADE
);

CREATE INDEX tags_tag ON tags (tag, item_id);

CREATE TABLE tagged (
	item_id INTEGER NOT NULL, 
	vocabulary VARCHAR NOT NULL, 
	PRIMARY KEY (item_id), 
	FOREIGN KEY(item_id) REFERENCES "items" (id) ON DELETE CASCADE
);

CREATE TABLE sidecars (
	photo_id INTEGER NOT NULL, 
	stamp VARCHAR NOT NULL, 
	text VARCHAR NOT NULL, city VARCHAR, people VARCHAR, rating INTEGER, taken_at VARCHAR, latitude FLOAT, longitude FLOAT, later_taken_at VARCHAR, later_latitude FLOAT, later_longitude FLOAT, label VARCHAR, 
	PRIMARY KEY (photo_id), 
	FOREIGN KEY(photo_id) REFERENCES photos (id) ON DELETE CASCADE
);

CREATE TABLE items (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, content_id INTEGER NOT NULL, part INTEGER NOT NULL, start_ms INTEGER, end_ms INTEGER, at_ms INTEGER, UNIQUE (content_id, part), FOREIGN KEY(content_id) REFERENCES contents (id) ON DELETE CASCADE);

CREATE TABLE "photos" (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, path BLOB NOT NULL UNIQUE, state VARCHAR NOT NULL, reason VARCHAR, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, content_id INTEGER, FOREIGN KEY(content_id) REFERENCES contents (id));

CREATE INDEX photos_content ON photos (content_id);

CREATE INDEX photos_state ON photos (state);

CREATE TRIGGER photos_words AFTER DELETE ON photos BEGIN DELETE FROM words WHERE rowid = old.id; END;

CREATE INDEX contents_metadata_version ON contents (metadata_version);

CREATE TABLE exclusions (
	root_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	"glob" BLOB NOT NULL, 
	PRIMARY KEY (root_id, position), 
	FOREIGN KEY(root_id) REFERENCES roots (id) ON DELETE CASCADE
);

CREATE VIRTUAL TABLE words USING fts5(name, description, caption, ocr, tags, tokenize = "porter unicode61 remove_diacritics 0 categories 'L* N* Co Mn Mc'");

CREATE INDEX items_parts ON items (content_id) WHERE part > 0;

CREATE TABLE part_texts (
	item_id INTEGER NOT NULL, 
	source VARCHAR NOT NULL, 
	text VARCHAR NOT NULL, 
	PRIMARY KEY (item_id, source), 
	FOREIGN KEY(item_id) REFERENCES items (id) ON DELETE CASCADE
);

CREATE TABLE transcribed (
	content_id INTEGER NOT NULL, 
	engine VARCHAR NOT NULL, 
	PRIMARY KEY (content_id), 
	FOREIGN KEY(content_id) REFERENCES contents (id) ON DELETE CASCADE
);

CREATE TABLE own_tags (
	photo_id INTEGER NOT NULL, 
	folded VARCHAR NOT NULL, 
	tag VARCHAR NOT NULL, 
	PRIMARY KEY (photo_id, folded), 
	FOREIGN KEY(photo_id) REFERENCES photos (id) ON DELETE CASCADE
);

CREATE INDEX own_tags_folded ON own_tags (folded, photo_id);

CREATE TABLE waiting_tags (
	hash BLOB NOT NULL, 
	folded VARCHAR NOT NULL, 
	tag VARCHAR NOT NULL, 
	PRIMARY KEY (hash, folded)
);

CREATE INDEX contents_content_identifier ON contents (content_identifier) WHERE content_identifier IS NOT NULL;

CREATE INDEX contents_sounds ON contents (id) WHERE width = 0;

INSERT INTO properties (name, value) VALUES ('generation', '0');

INSERT INTO properties (name, value) VALUES ('identity', lower(hex(randomblob(4))));

INSERT INTO alembic_version (version_num) VALUES ('014');

